{#- Which order decides who takes what is scarce: value, priority or first_come. -#}
{% macro arbitration() -%}
    {%- set found = var('arbitration', 'value') -%}
    {%- if found not in ['value', 'priority', 'first_come'] -%}
        {{- exceptions.raise_compiler_error(
            "vars.arbitration: found " ~ (found or 'nothing')
            ~ ", allowed is one of value, priority, first_come"
        ) -}}
    {%- endif -%}
    {{ return(found) }}
{%- endmacro %}
