with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

users as (select * from {{ ref('int_users_enriched') }}),

send_windows as (select * from {{ ref('int_send_windows') }}),

judged as (
    select
        candidates.message_id,
        case
            when campaigns.campaign_id is null then 'no_policy'
            -- no window in the policy: any time will do
            when campaigns.window_from_hour is null then null
            when send_windows.is_open then null
            when users.timezone is null then 'no_time_zone'
            else 'outside_send_window'
        end as reason
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join users
        on candidates.user_id = users.user_id
    left join send_windows
        on
            users.timezone = send_windows.timezone
            and campaigns.window_from_hour = send_windows.window_from_hour
            and campaigns.window_to_hour = send_windows.window_to_hour
            and campaigns.window_weekdays = send_windows.window_weekdays
)

select
    message_id,
    'send_window' as rule,
    reason is not null as is_blocked,
    false as is_permanent,
    reason
from judged
