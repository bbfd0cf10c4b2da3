-- Sends of this tick, by what the person said last.
with sends as (
    select * from {{ ref('int_verdicts') }}
    where verdict = 'send'
),

{{ without_consent('sends') }}
