{#-
    Before a tick's decisions are added, those of the same or a later time go: a tick that runs again
    decides as if for the first time. Only of this source pack; the record of earlier ticks is never touched.
-#}
{% macro take_back_decisions() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where source_pack = '{{ var("source_pack") }}' and as_of >= {{ as_of() }}
    {%- endif -%}
{%- endmacro %}
