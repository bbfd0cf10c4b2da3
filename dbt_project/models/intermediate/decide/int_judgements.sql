select * from {{ ref('int_eligibility__consent') }}

union all

select * from {{ ref('int_eligibility__legal_basis') }}

union all

select * from {{ ref('int_eligibility__risk') }}

union all

select * from {{ ref('int_eligibility__suppression') }}

union all

select * from {{ ref('int_eligibility__internal_user') }}

union all

select * from {{ ref('int_eligibility__holdout_global') }}

union all

select * from {{ ref('int_eligibility__holdout_campaign') }}

union all

select * from {{ ref('int_eligibility__reentry') }}

union all

select * from {{ ref('int_eligibility__sequence') }}

union all

select * from {{ ref('int_eligibility__frequency_cap') }}

union all

select * from {{ ref('int_eligibility__scoped_cap') }}

union all

select * from {{ ref('int_eligibility__rollout') }}

union all

select * from {{ ref('int_eligibility__paused') }}

union all

select * from {{ ref('int_eligibility__send_window') }}

union all

select * from {{ ref('int_eligibility__expired') }}

union all

select * from {{ ref('int_eligibility__missing_facts') }}
