"""The engine's own process: model, cache and scheduler, while kernels, tabs and servers come and go.

    server extension, kernels, terminals --(client: one JSON line, one answer)--> service --> session.Workbench --> log

`place` says where an engine lies: one per data folder and model, a Unix socket that its owner alone may open, and a
secret. `service` is the process (`workbench engine`), `client` speaks with it, finds out how it is and starts it,
`remote` is the handle of a run in it. What happens in a run is read from the run log, never over the socket.
"""
