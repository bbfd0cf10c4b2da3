{#-
    Every campaign with its policy as the trigger's YAML says it (config.meta.campaign), in order of id.
    A trigger without a policy is left out: its candidates are then held for no_policy.
-#}
{% macro campaign_policies() -%}
    {%- set campaigns = [] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() | sort(attribute='unique_id') -%}
            {%- set policy = node.config.get('meta', {}).get('campaign') -%}
            {%- if node.resource_type == 'model'
                and node.name.startswith('int_triggers__') and policy -%}
                {%- do campaigns.append({
                    'campaign_id': node.name[('int_triggers__' | length):],
                    'policy': tojson(policy, sort_keys=true),
                }) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(campaigns) }}
{%- endmacro %}
