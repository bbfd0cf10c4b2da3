{{ config(enabled=(var('source_pack', 'demo') == 'yammer')) }}
-- Addresses of the yammer pack are made up, so they must lie under a name reserved for examples.
-- Returns rows (test failure) for any other address.
select
    user_id,
    email
from {{ ref('stg_users') }}
where email not like '%.example'
