{#-
    Every campaign with its policy as the trigger's YAML says it (config.meta.campaign), in order of id.
    A trigger without a policy is left out: its candidates are then held for no_policy.
    The hash is over all that one campaign is made of: this YAML, the trigger's SQL as it is written, and for each variant what
    its template's files are. Its twin is lifecycle/policy_versions.py, whose text of it the ledger keeps.
    A simulation puts other policies in their place (var simulated_policies); a tick never does.
-#}
{% macro campaign_policies() -%}
    {%- set campaigns = [] -%}
    {%- if execute -%}
        {%- set templates = var('templates', {}) or {} -%}
        {%- for node in graph.nodes.values() | sort(attribute='unique_id') -%}
            {%- set policy = node.config.get('meta', {}).get('campaign') -%}
            {%- if node.resource_type == 'model'
                and node.name.startswith('int_triggers__') and policy -%}
                {%- set campaign_id = node.name[('int_triggers__' | length):] -%}
                {%- set policy = var('simulated_policies', {}).get(campaign_id, policy) -%}
                {%- set document = {
                    'policy': policy,
                    'sql': node.raw_code,
                    'templates': templates.get(campaign_id, {}),
                } -%}
                {%- do campaigns.append({
                    'campaign_id': campaign_id,
                    'policy': tojson(policy, sort_keys=true),
                    'policy_hash': local_md5(tojson(document, sort_keys=true)),
                }) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(campaigns) }}
{%- endmacro %}
