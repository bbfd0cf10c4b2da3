-- the roster: a campaign is live when its line stands here
select * from {{ ref('int_triggers__welcome') }}
union all
select * from {{ ref('int_triggers__setup_stalled') }}
union all
select * from {{ ref('int_triggers__first_value') }}
union all
select * from {{ ref('int_triggers__feature_next') }}
union all
select * from {{ ref('int_triggers__invite_teammates') }}
union all
select * from {{ ref('int_triggers__trial_ending') }}
union all
select * from {{ ref('int_triggers__usage_limit') }}
union all
select * from {{ ref('int_triggers__churn_risk') }}
union all
select * from {{ ref('int_triggers__winback') }}
union all
select * from {{ ref('int_triggers__payment_failed') }}
union all
select * from {{ ref('int_triggers__terms_update') }}
