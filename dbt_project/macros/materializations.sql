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
