-- The set knows no plans and no payments: an empty relation, so that nobody counts as paying.
select
    cast(null as varchar) as subscription_change_id,
    cast(null as varchar) as account_id,
    cast(null as varchar) as plan,
    cast(null as varchar) as status,
    cast(null as decimal(12, 2)) as mrr,
    cast(null as timestamp) as trial_ends_at,
    cast(null as timestamp) as changed_at
where false
