{#-
    Models that are kept from tick to tick and moved on (docs/state.md). Without these vars, as in a build by hand, in `explain`,
    `simulate` and `diff`, every one of them is its full SQL: only a tick that has proved what stands to be right gives them.
-#}

{#- True in a tick that moves the kept models on by what was received since the last one. -#}
{% macro moves_on() -%}
    {{ return(var('moves_from', none) is not none) }}
{%- endmacro %}


{#- Everything received until then is in the kept models already. -#}
{% macro received_until() -%}
    cast('{{ var("received_until") }}' as timestamp)
{%- endmacro %}


{#- Calendar days (UTC) from the tick that the kept models stand at to this one. -#}
{% macro days_moved() -%}
    {%- set days = modules.datetime.date.fromisoformat(var('as_of')[:10])
        - modules.datetime.date.fromisoformat(var('moves_from')[:10]) -%}
    {{ return(days.days) }}
{%- endmacro %}


{#- The day (UTC) that lies so many days before the tick's own. -#}
{% macro day_ago(days_ago) -%}
    cast({{ as_of() }} as date) - {{ days_ago }}
{%- endmacro %}


{#- Bits of days, the lowest the tick's own, of which one moves on by so many days. A bit that leaves is gone: 126 days are kept. -#}
{% macro moved_bits(bits_expression, days) -%}
    {%- if days == 0 -%}
        {{ bits_expression }}
    {%- elif days > 126 -%}
        cast(0 as hugeint)
    {%- else -%}
        (({{ bits_expression }} & ((cast(1 as hugeint) << {{ 127 - days }}) - 1)) << {{ days }})
    {%- endif -%}
{%- endmacro %}


{#- The bit of one day, where a condition holds. -#}
{% macro day_bit(days_ago_expression, condition) -%}
    case
        when {{ condition }} and {{ days_ago_expression }} < 127
            then cast(1 as hugeint) << least({{ days_ago_expression }}, 126)
        else cast(0 as hugeint)
    end
{%- endmacro %}


{#- How many days are set of so many, from so many days ago. -#}
{% macro days_set(bits_expression, days, from_days_ago=0) -%}
    cast(bit_count(({{ bits_expression }} >> {{ from_days_ago }}) & {{ 2 ** days - 1 }}) as bigint)
{%- endmacro %}


{#- The nth day set, counted from the oldest of the last so many days; null where fewer are. -#}
{% macro nth_day_set(bits_expression, days, nth) -%}
    {%- set recent = 'cast(' ~ bits_expression ~ ' & ' ~ (2 ** days - 1) ~ ' as bigint)' -%}
    case
        when bit_count({{ recent }}) >= {{ nth }}
            -- for each day ago: have n days been set by then? The latest day for which they have is the one after the last no.
            then cast({{ as_of() }} as date) + 1 - (
                {%- for ago in range(days) %}
                {{ '+ ' if not loop.first }}cast(bit_count({{ recent }} >> {{ ago }}) >= {{ nth }} as integer)
                {%- endfor %}
            )
    end
{%- endmacro %}
