with candidates as (select * from {{ ref('int_candidates_unioned') }}),

campaigns as (select * from {{ ref('dim_campaigns') }}),

candidate_windows as (select * from {{ ref('int_candidate_windows') }}),

send_windows as (select * from {{ ref('int_send_windows') }}),

judged as (
    select
        candidates.message_id,
        case
            when campaigns.campaign_id is null then 'no_policy'
            -- no window in the policy: any time will do
            when campaigns.window_from_hour is null then null
            when candidate_windows.message_id is null then 'no_time_zone'
            when send_windows.is_open then null
            when send_windows.is_holiday then 'holiday'
            when
                send_windows.local_hour_before_opening
                >= campaigns.window_from_hour
                then 'before_usual_hour'
            else 'outside_send_window'
        end as reason
    from candidates
    left join campaigns
        on candidates.campaign_id = campaigns.campaign_id
    left join candidate_windows
        on candidates.message_id = candidate_windows.message_id
    left join send_windows
        on candidate_windows.window_id = send_windows.window_id
)

select
    message_id,
    'send_window' as rule,
    reason is not null as is_blocked,
    false as is_permanent,
    reason
from judged
