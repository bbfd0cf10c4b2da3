with campaigns as (select * from {{ ref('dim_campaigns') }}),

caps as (
    {% for scope in ['account', 'message_type', 'channel'] -%}
        select
            campaign_id,
            '{{ scope }}' as scope,
            cast(policy ->> '$.caps.per_{{ scope }}.count' as integer)
                as cap_count,
            cast(policy ->> '$.caps.per_{{ scope }}.window_days' as integer)
                as window_days
        from campaigns
        where is_marketing
        {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select * from caps
where cap_count is not null
