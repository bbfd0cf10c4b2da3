-- Sends of this tick, by the clock on the recipient's wall.
with sends as (
    select * from {{ ref('int_verdicts') }}
    where verdict = 'send'
),

{{ outside_the_window('sends') }}
