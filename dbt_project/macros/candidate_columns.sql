{#-
    The columns of every int_triggers__<campaign>, in one order, so that the roster can union them.
    The campaign's id is the model's name after the double underscore.
-#}
{% macro candidate_columns() -%}
    {%- set campaign_id = "'" ~ campaign_of_model() ~ "'" -%}
    {{ surrogate_key([campaign_id, 'user_id', 'occurrence_key']) }} as message_id,
    {{ campaign_id }} as campaign_id,
    user_id,
    occurrence_key,
    triggered_at,
    facts
{%- endmacro %}


{#- A unit test is a node of its own: its campaign is that of the model it tests. -#}
{% macro campaign_of_model() -%}
    {%- set unique_id = model.get('tested_node_unique_id') or model.unique_id -%}
    {{ return(unique_id.split('.')[2].split('__', 1)[1]) }}
{%- endmacro %}
