{#- Functions that engines spell differently. Each default is DuckDB's. -#}

{#- True where the text is one JSON value. -#}
{% macro is_json(text_expression) -%}
    {{ return(adapter.dispatch('is_json', 'postrider')(text_expression)) }}
{%- endmacro %}

{% macro default__is_json(text_expression) -%}
    json_valid({{ text_expression }})
{%- endmacro %}

{% macro postgres__is_json(text_expression) -%}
    ({{ text_expression }} is json)
{%- endmacro %}


{#- A top-level value of a JSON object as text; null when absent. -#}
{% macro json_text(text_expression, key) -%}
    {{ return(adapter.dispatch('json_text', 'postrider')(text_expression, key)) }}
{%- endmacro %}

{% macro default__json_text(text_expression, key) -%}
    json_extract_string({{ text_expression }}, '$.{{ key }}')
{%- endmacro %}

{% macro postgres__json_text(text_expression, key) -%}
    (cast({{ text_expression }} as json) ->> '{{ key }}')
{%- endmacro %}


{#-
    True where the text has the form of an address: dot-atoms around one @, and a dot in the domain.
    It keeps line breaks and lists of recipients out; whether the mailbox exists only a bounce tells.
-#}
{% macro is_address(text_expression) -%}
    {%- set atom = '[^\\s@<>(),;:"\\\\\\[\\].]+' -%}
    {%- set pattern = '^' ~ atom ~ '(\\.' ~ atom ~ ')*@' ~ atom ~ '(\\.' ~ atom ~ ')+$' -%}
    {{ return(adapter.dispatch('matches', 'postrider')(text_expression, pattern)) }}
{%- endmacro %}

{% macro default__matches(text_expression, pattern) -%}
    regexp_matches({{ text_expression }}, '{{ pattern }}')
{%- endmacro %}

{% macro postgres__matches(text_expression, pattern) -%}
    ({{ text_expression }} ~ '{{ pattern }}')
{%- endmacro %}


{#-
    The names of time zones that the engine can convert with, as a subquery: Area/City and UTC.
    Abbreviations are left out: ACT is Darwin to one library, Acre to another, unknown to a third.
-#}
{% macro time_zone_names() -%}
    (
        select name as timezone
        from pg_timezone_names()
        where (name like '%/%' or name = 'UTC') and name not like 'SystemV/%'
    )
{%- endmacro %}


{#- Ids that arrive as floats: '12.0' is '12'. -#}
{% macro float_id(text_expression) -%}
    cast(cast(try_cast({{ text_expression }} as double) as bigint) as varchar)
{%- endmacro %}


{#- Calendar days (UTC) from the first time to the second. -#}
{% macro days_between(first_expression, second_expression) -%}
    {{ return(adapter.dispatch('days_between', 'postrider')(first_expression, second_expression)) }}
{%- endmacro %}

{% macro default__days_between(first_expression, second_expression) -%}
    cast({{ second_expression }} as date) - cast({{ first_expression }} as date)
{%- endmacro %}

{% macro spark__days_between(first_expression, second_expression) -%}
    datediff(cast({{ second_expression }} as date), cast({{ first_expression }} as date))
{%- endmacro %}


{#- A 64-bit number for a list of columns: the same for equal ones, seldom the same for others. Engines and their versions differ. -#}
{% macro fingerprint(columns) -%}
    {{ return(adapter.dispatch('fingerprint', 'postrider')(columns)) }}
{%- endmacro %}

{% macro default__fingerprint(columns) -%}
    hash({{ columns | join(', ') }})
{%- endmacro %}

{% macro postgres__fingerprint(columns) -%}
    hash_record_extended(row({{ columns | join(', ') }}), 0)
{%- endmacro %}

{% macro spark__fingerprint(columns) -%}
    xxhash64({{ columns | join(', ') }})
{%- endmacro %}
