{#-
    Every campaign with its policy as the trigger's YAML says it (config.meta.campaign), in order of id.
    A trigger without a policy is left out: its candidates are then held for no_policy.
    A simulation puts other policies in their place (var simulated_policies); a tick never does.
-#}
{% macro campaign_policies() -%}
    {%- set campaigns = [] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() | sort(attribute='unique_id') -%}
            {%- set policy = node.config.get('meta', {}).get('campaign') -%}
            {%- if node.resource_type == 'model'
                and node.name.startswith('int_triggers__') and policy -%}
                {%- set campaign_id = node.name[('int_triggers__' | length):] -%}
                {%- set simulated = var('simulated_policies', {}) -%}
                {%- do campaigns.append({
                    'campaign_id': campaign_id,
                    'policy': tojson(simulated.get(campaign_id, policy), sort_keys=true),
                }) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(campaigns) }}
{%- endmacro %}
