{#-
    A stable number in [0, 1) for an id: the first 32 bits of md5(salt:id), divided by 2^32.
    The same function stands in lifecycle/bucket.py, so that SQL and Python agree on who is held out.
    The id is not cast: to put texts together every engine makes a text of it, and none has the same name for the type.
    The divisor has an exponent: without one it is a decimal to Spark, whose quotient ends after twelve digits.
-#}
{% macro hash_bucket(salt, id_expression) -%}
    {{ hex_to_bigint(
        "substr(md5('" ~ salt ~ ":' || " ~ id_expression ~ "), 1, 8)"
    ) }} / 4294967296e0
{%- endmacro %}


{#- Hexadecimal text to an integer: no two engines spell it alike. -#}
{% macro hex_to_bigint(hex_expression) -%}
    {{ return(adapter.dispatch('hex_to_bigint', 'postrider')(hex_expression)) }}
{%- endmacro %}

{% macro default__hex_to_bigint(hex_expression) -%}
    cast('0x' || {{ hex_expression }} as bigint)
{%- endmacro %}

{% macro postgres__hex_to_bigint(hex_expression) -%}
    cast(cast(('x' || lpad({{ hex_expression }}, 16, '0')) as bit(64)) as bigint)
{%- endmacro %}

{% macro spark__hex_to_bigint(hex_expression) -%}
    cast(conv({{ hex_expression }}, 16, 10) as bigint)
{%- endmacro %}
