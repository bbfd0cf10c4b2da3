with pack as (

    select * from {{ ref('stg_' ~ var('source_pack') ~ '__quirks') }}

)

select
    quirk,
    rows,
    handling
from pack
