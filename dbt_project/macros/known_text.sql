{#- A name as somebody gave it. Exports write a missing one as a word, which would greet people as "Hi None". -#}
{% macro known_text(expression) %}
    case
        when lower(trim({{ expression }})) not in ('', 'none', 'null', 'nan', 'n/a', 'undefined')
            then trim({{ expression }})
    end
{%- endmacro %}
