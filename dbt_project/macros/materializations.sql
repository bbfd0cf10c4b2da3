{#-
    Tables and views on DuckDB, in place of dbt's own materialisations: those build beside the old relation, rename twice and drop, each
    by a macro in a context of its own, which took longer than the models' SQL. DuckDB drops and creates in one transaction: whoever reads
    sees the old relation or the new one, and a model that fails leaves the old one.
-#}
{% materialization table, adapter='duckdb', supported_languages=['sql'] %}
    {{ return(replaced('table', create_table_as(False, this.incorporate(type='table'), compiled_code))) }}
{% endmaterialization %}


{% materialization view, adapter='duckdb', supported_languages=['sql'] %}
    {{ return(replaced('view', create_view_as(this.incorporate(type='view'), compiled_code))) }}
{% endmaterialization %}


{#- Drop the relation of this model, whatever its kind, create it anew, commit. -#}
{% macro replaced(kind, create_statement) -%}
    {%- set existing = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks) }}
    {% call statement('main') -%}
        {%- if existing is not none %}drop {{ existing.type }} if exists {{ existing }};{% endif -%}
        {{ create_statement }}
    {%- endcall %}
    {{ run_hooks(post_hooks) }}
    {% do adapter.commit() %}
    {{ return({'relations': [this.incorporate(type=kind)]}) }}
{%- endmacro %}


{#-
    A table that a tick may move on instead of making it anew (docs/state.md). With `unique_key` the model's SQL is then what has
    changed, row by row; without, the whole table, for which it may read itself. A row that was there takes the new row's columns;
    with `put_together` it takes these only, each put together with what it had: by sum, bit_or, min or max.
    With `replaces_what_is_after` (a column of times) the SQL is every row of which the time is after the last tick's receipts. What the table was made of, and with how many
    rows, is its comment, written in the same transaction: neither can be ahead of the other. A build by hand leaves no comment,
    and the next tick makes the table anew.
-#}
{% materialization kept, adapter='duckdb', supported_languages=['sql'] %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target = this.incorporate(type='table') -%}
    {%- set keys = config.get('unique_key') -%}
    {{ run_hooks(pre_hooks) }}
    {% call statement('main') -%}
        {%- if moves_on() and keys -%}
            merge into {{ target }} as old
            using ({{ compiled_code }}) as new
            on {% for key in keys %}{{ 'and ' if not loop.first }}old.{{ key }} is not distinct from new.{{ key }} {% endfor %}
            when matched then update {{ put_together(config.get('put_together')) }}
            when not matched then insert by name
        {%- elif moves_on() and config.get('replaces_what_is_after') -%}
            delete from {{ target }} where {{ config.get('replaces_what_is_after') }} > {{ received_until() }};
            insert into {{ target }} by name ({{ compiled_code }})
        {%- else -%}
            {%- if existing is not none and existing.type != 'table' -%}drop {{ existing.type }} {{ existing }};{%- endif -%}
            create or replace table {{ target }} as ({{ compiled_code }})
        {%- endif -%}
    {%- endcall %}
    {%- if var('kept_as', none) is not none -%}
        {%- set rows = run_query('select count(*) from ' ~ target).rows[0][0] -%}
        {%- set comment = '{"rows": ' ~ rows ~ ', "kept_as": ' ~ var('kept_as') ~ '}' -%}
        {% do run_query('comment on table ' ~ target ~ " is '" ~ comment.replace("'", "''") ~ "'") %}
    {%- endif -%}
    {{ run_hooks(post_hooks) }}
    {% do adapter.commit() %}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{#- What becomes of a row that was there: the new row, or the columns of which two parts make a whole. -#}
{% macro put_together(columns) -%}
    {%- set forms = {
        'sum': 'old.{0} + new.{0}', 'bit_or': 'old.{0} | new.{0}',
        'min': 'least(old.{0}, new.{0})', 'max': 'greatest(old.{0}, new.{0})'
    } -%}
    {%- if not columns -%}by name{%- else -%}
        set {% for column, how in columns.items() -%}
            {{ ', ' if not loop.first }}{{ column }} = {{ forms[how].format(column) }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
