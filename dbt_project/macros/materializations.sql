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
    changed, row by row; without, the whole table, for which it may read itself. What the table was made of, and with how many
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
            when matched then update by name
            when not matched then insert by name
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
