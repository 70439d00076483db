"""A page on this computer to draw a digit on, and to watch a network read it (extra ``demo``: Flask).

`strokes` makes an image of what the pen did, `introspect` takes the network apart on that image, `requests` checks what
a request contains, `server` answers it; `static` is the page. The weights that come with it: ``mnist.md``.
"""

from .server import HOST, bind, load, make_server, shipped_weights

__all__ = ["HOST", "bind", "load", "make_server", "shipped_weights"]
