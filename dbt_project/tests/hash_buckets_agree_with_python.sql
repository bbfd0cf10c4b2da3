-- The macro and dagster_project/lifecycle/bucket.py must draw the same number
-- for everybody: pytest reads the same lines. Returns the vectors that differ.
with vectors (salt, key, expected) as (
    values
    ('holdout_global', 'user-1', '0.7362016362603754'),
    ('holdout:welcome', 'user-1', '0.06330228736624122'),
    ('rollout:welcome', 'user-1', '0.946173282340169'),
    ('variant:welcome', 'user-1', '0.32848390913568437'),
    ('holdout:welcome', 'user-2', '0.4106802549213171'),
    ('holdout:welcome', '', '0.3768307752907276'),
    ('holdout:welcome', 'Zoë 山田', '0.09860526630654931'),
    ('holdout:welcome', '00042', '0.5493639197666198'),
    ('holdout:welcome', 'a:b', '0.7117012764792889'),
    ('holdout_global', 'user-138698', '1.8167775124311447e-06'),
    ('holdout_global', 'user-45773', '0.9999934232328087')
),

-- the salt of a campaign is made in SQL, as in the rules
drawn as (
    select
        *,
        {{ hash_bucket("' || salt || '", 'key') }} as actual
    from vectors
)

select * from drawn
where actual is distinct from cast(expected as double)
