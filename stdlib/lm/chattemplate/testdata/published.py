"""Renders published chat templates with transformers, for template_test.go:
pip install transformers jinja2 trl; python3 published.py FOLDER OUT.json, where FOLDER holds *.jinja (trl/chat_templates, for one);
then BANTER_PUBLISHED_TEMPLATES=OUT.json go test ./stdlib/lm/chattemplate"""
import datetime
import glob
import json
import os
import sys

from transformers.utils.chat_template_utils import render_jinja_template

turn = lambda role, content: {"role": role, "content": content}
CONVERSATIONS = [
    [turn("user", "Hi <there> & 'you' \"q\" é😂 مرحبا")],
    [turn("user", "Is the soup hot?"), turn("assistant", "yes lol")],
    [turn("system", "Be brief."), turn("user", "one"), turn("assistant", "two"), turn("user", "three")],
    [turn("user", "one"), turn("assistant", "two"), turn("user", "three"), turn("assistant", "four")],
]
cases = []
for path in sorted(glob.glob(sys.argv[1] + "/*.jinja")):
    source = open(path).read()
    for messages in CONVERSATIONS:
        for prompt in (True, False):
            try:
                text = render_jinja_template([messages], chat_template=source, add_generation_prompt=prompt, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>", tools=None, documents=None)[0][0]
            except Exception:
                text = None
            cases.append({"file": os.path.basename(path), "source": source, "messages": messages, "prompt": prompt, "text": text})
json.dump({"date": datetime.date.today().isoformat(), "cases": cases}, open(sys.argv[2], "w"))
