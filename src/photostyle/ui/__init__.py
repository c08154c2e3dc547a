"""The local page of `photostyle ui`: try styles on a photo in the browser.

- `look`: a photo in a style at any strength, without the network
- `page`: the page, made with Gradio
- `server`: serves it to this machine alone
"""
