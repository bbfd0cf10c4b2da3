with scores as (select * from {{ ref('int_user_scores') }}),

versions as (
    select
        score,
        max(model_version) as model_version
    from scores
    group by 1
),

model_versions as (
    select
        coalesce(
            cast(to_json(map_from_entries(
                list((score, model_version) order by score)
            )) as varchar),
            '{}'
        ) as model_versions
    from versions
)

select * from model_versions
