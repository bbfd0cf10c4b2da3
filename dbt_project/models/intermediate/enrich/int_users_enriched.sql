with users as (

    select * from {{ ref('stg_users') }}

),

accounts as (

    select * from {{ ref('int_accounts_enriched') }}

),

zones as (

    select * from {{ ref('int_time_zones') }}

),

owner_zones as (

    select
        accounts.account_id,
        zones.timezone
    from accounts
    inner join users on accounts.owner_user_id = users.user_id
    inner join zones on users.timezone = zones.timezone

),

activity as (

    select * from {{ ref('int_user_activity') }}

),

setup as (

    select * from {{ ref('int_user_setup') }}

),

top_features as (

    select
        user_id,
        feature
    from {{ ref('int_user_features') }}
    where rank_28d = 1 and events_28d > 0

),

terms as (

    select * from {{ ref('int_user_terms') }}

),

tickets as (

    select
        user_id,
        count(*) as open_tickets
    from {{ ref('stg_tickets') }}
    where status = 'open'
    group by 1

),

enriched as (

    select
        ----------  ids
        users.user_id,
        users.account_id,

        ---------- strings
        accounts.account_name,
        users.email,
        users.first_name,
        users.locale,
        -- a zone that does not exist counts as none; the owner's is the nearest known one
        coalesce(zones.timezone, owner_zones.timezone) as timezone,
        case
            when zones.timezone is not null then 'user'
            when owner_zones.timezone is not null then 'account'
        end as timezone_source,
        users.role,
        accounts.plan,
        accounts.country,
        accounts.subscription_status,
        setup.next_setup_step,
        top_features.feature as top_feature,
        terms.accepted_terms_version,

        ---------- numerics
        cast({{ days_between('users.created_at', as_of()) }} as integer)
            as days_since_signup,
        cast({{ days_between('activity.last_seen_at', as_of()) }} as integer)
            as days_since_last_seen,
        cast({{ days_between(as_of(), 'accounts.trial_ends_at') }} as integer)
            as days_until_trial_end,
        accounts.seats,
        accounts.mrr,
        accounts.account_users,
        accounts.account_active_users_28d,
        accounts.seats_used_share,
        coalesce(activity.active_days_7d, 0) as active_days_7d,
        coalesce(activity.active_days_28d, 0) as active_days_28d,
        coalesce(activity.active_days_prior_28d, 0) as active_days_prior_28d,
        coalesce(activity.events_28d, 0) as events_28d,
        coalesce(activity.features_used_28d, 0) as features_used_28d,
        coalesce(activity.invites_sent, 0) as invites_sent,
        coalesce(setup.setup_steps_done, 0) as setup_steps_done,
        coalesce(setup.setup_steps_total, 0) as setup_steps_total,
        coalesce(tickets.open_tickets, 0) as open_tickets,

        ---------- booleans
        users.is_internal,
        coalesce(activity.is_bot, false) as is_bot,
        coalesce(accounts.owner_user_id = users.user_id, false) as is_account_owner,

        ---------- dates
        activity.engaged_since,
        activity.power_since,

        ---------- timestamps
        users.created_at,
        activity.activated_at,
        activity.last_seen_at,
        accounts.trial_ends_at,
        accounts.payment_failed_at,
        accounts.subscription_changed_at
    from users
    left join accounts on users.account_id = accounts.account_id
    left join zones on users.timezone = zones.timezone
    left join owner_zones on users.account_id = owner_zones.account_id
    left join activity on users.user_id = activity.user_id
    left join setup on users.user_id = setup.user_id
    left join top_features on users.user_id = top_features.user_id
    left join terms on users.user_id = terms.user_id
    left join tickets on users.user_id = tickets.user_id

)

select * from enriched
