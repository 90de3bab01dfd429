"""Renders templates of our own, in the idioms of published ones, with transformers' own renderer, for template_test.go:
pip install transformers jinja2; python3 golden.py"""
import json

from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATES = {
    "chatml": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "header": "{{ bos_token }}{% for m in messages %}{% set head = '<|head|>' + m['role'] + '<|/head|>\n\n' + m['content'] | trim + '<|eot|>' %}{{ head }}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<|head|>assistant<|/head|>\n\n' }}{% endif %}",
    "inst": "{%- if messages[0]['role'] == 'system' -%}{%- set sys = '<<' + messages[0]['content'] + '>>\n' -%}{%- set turns = messages[1:] -%}{%- else -%}"
            "{%- set sys = '' -%}{%- set turns = messages -%}{%- endif -%}{{ bos_token }}{%- for m in turns -%}"
            "{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('roles must alternate') }}{%- endif -%}"
            "{%- if m.role == 'user' -%}{{ '[INST] ' + (sys if loop.first else '') + m.content + ' [/INST]' }}{%- else -%}{{ ' ' + m.content.strip() + eos_token }}{%- endif -%}{%- endfor -%}",
    "blocks": """{%- set ns = namespace(last=-1, found=false) %}
{%- for m in messages[::-1] %}
    {%- set i = (messages|length - 1) - loop.index0 %}
    {%- if not ns.found and m.role == "user" %}
        {%- set ns.found = true %}
        {%- set ns.last = i %}
    {%- endif %}
{%- endfor %}
{% macro turn(role, text) -%}
<{{ role }}>{{ text }}</{{ role }}>
{% endmacro -%}
{% for m in messages %}
  {% if m.role in ["user", "system"] %}
{{ turn(m.role, m.content) }}
  {%- elif m.role == "assistant" %}
{% generation %}{{ turn(m.role, m.content ~ ("!" if loop.index0 > ns.last else "")) }}{% endgeneration %}
  {%- endif %}
{% endfor %}
{%- if add_generation_prompt is defined and add_generation_prompt %}
<assistant>
{%- endif %}
""",
    "json": "{%- for m in messages %}{{ {'role': m.role, 'content': m.content} | tojson }}{{ ',' if not loop.last }}{% endfor %}{{ m is defined }}{{ tools is none }}{{ pad_token is defined }}",
    "filters": "{% for m in messages %}{{ loop.index }}/{{ loop.length }} {{ m.role | upper }}: {{ m['content'] | replace('<', '(') | default('x', true) | d('y',True) }}{{ m.content.split(' ')[-1] }}{{ m.content.startswith('o') }}{{ m.content | length }}\n{% endfor %}{{ range(3) | list }}{{ 'a' * 3 }}{{ 7 // 2 }}{{ 7 % 3 }}{{ [1,2]|join('-') }}",
    "space": "|".join([
        "a {{ messages[0].content }}{%- if true %}b{% endif %}", "a {% if true %}{%- if true %}b{% endif %}{% endif %}", "a {{- 1 }} b", "a {{ 1 -}} b", "a {{ 'x' }}{{- 1 }}",
        "{%- set a=1 -%}{{ 2 }} b", "{{ 1 -}}{{ 'x' }} b", "a {# c #}{%- if true %}x{% endif %}", "a {#- c -#} {{ 1 }}", "a\n{% if true %}\n{{ 1 }}\n{% endif %}\nb",
        "a \n  {% if true %}  \n {{ 1 }}  {%- endif %} \n b", "{{ ' ' }}{%- if true -%}{{ 1 }}{%- endif -%}{{ ' ' }}", "{{ 'x ' }}{%- set q = {'a': {'b': 1}} %}{{ q.a.b }}!",
        "a{% if false %}x{% else -%} \n {{ 1 }}{%- endif %}\n b", "{{ 1 }} \n\n{#- c %} {{ #}\n\n  z"]),
}
CONVERSATIONS = {
    "user": [{"role": "user", "content": "Hi <there> & 'you' \"q\" é😂 مرحبا"}],
    "chat": [{"role": "system", "content": " Be brief. \n"}, {"role": "user", "content": "  one\n"}, {"role": "assistant", "content": "two  "},
             {"role": "user", "content": "three"}, {"role": "assistant", "content": "four"}],
    "pair": [{"role": "user", "content": "one\ttwo"}, {"role": "assistant", "content": "{{ three }} {% four %}"}],
    "empty": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
    "wrong order": [{"role": "assistant", "content": "I begin"}],
}
cases = []
for name, source in TEMPLATES.items():
    for conversation, messages in CONVERSATIONS.items():
        for prompt in (False, True):
            try:
                text = render_jinja_template([messages], chat_template=source, add_generation_prompt=prompt, bos_token="<s>", eos_token="</s>")[0][0]
            except Exception as e:
                text = None
            cases.append({"template": name, "conversation": conversation, "prompt": prompt, "text": text})
json.dump({"templates": TEMPLATES, "conversations": CONVERSATIONS, "cases": cases}, open("golden.json", "w"), indent=1)
print(len(cases), sum(c["text"] is None for c in cases))
