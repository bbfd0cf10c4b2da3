{#-
    The facts of a candidate as JSON text: {"<column>": <value>, …} in the order given.
    A missing fact stays in the text as null, so that the rule missing_facts can name it.
-#}
{% macro facts(columns) -%}
    {{ return(adapter.dispatch('facts', 'postrider')(columns)) }}
{%- endmacro %}

{% macro default__facts(columns) -%}
    cast(json_object(
    {%- for column in columns %}
        '{{ column }}', {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
    ) as varchar)
{%- endmacro %}

{% macro postgres__facts(columns) -%}
    cast(json_build_object(
    {%- for column in columns %}
        '{{ column }}', {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
    ) as varchar)
{%- endmacro %}
