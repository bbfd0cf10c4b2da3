{#- Fails for every row where the expression is false. Null passes, as in a check constraint. -#}
{% test expression_is_true(model, expression) %}

    select *
    from {{ model }}
    where not ({{ expression }})

{% endtest %}
