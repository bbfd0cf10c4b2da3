{#- The tick's time as a SQL literal. The only clock that a model may ask. -#}
{% macro as_of() -%}
    {%- set value = var('as_of', none) -%}
    {%- if execute -%}
        {%- set form = '^\\d{4}-\\d{2}-\\d{2} \\d{2}:\\d{2}:\\d{2}$' -%}
        {%- if not value or not modules.re.match(form, value | string) -%}
            {{- exceptions.raise_compiler_error(
                "vars.as_of: found " ~ (value or 'nothing')
                ~ ", allowed is a UTC time as 'YYYY-MM-DD HH:MM:SS'"
            ) -}}
        {%- endif -%}
    {%- endif -%}
    cast('{{ value }}' as timestamp)
{%- endmacro %}
