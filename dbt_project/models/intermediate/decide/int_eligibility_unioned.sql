select * from {{ ref('int_judgements') }}

union all

select * from {{ ref('int_eligibility__account_crowding') }}

union all

select * from {{ ref('int_eligibility__quota') }}
