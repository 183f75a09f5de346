"""Memory: one kind of library for tools and concepts. Rows in SQLite are the truth, vectors in faiss are derived.

In comes what runs taught and what a person decides about it, out go the tools and concepts that fit a new task.

    values, content, concepts, fields   what a row holds, and the check that it does
    planning -> store -> rows, database, sqlite_frame, migrations   changes are planned, shown, done, undone
    views -> shelf -> ranking, lexical   by which texts a row is found, and how near it is
    retrieval -> embedder, vectors   the same for a library, kept in step with its rows
    duplicates, rendering, selection   pairs that may be one; concepts in a prompt, and which of them a model chooses
    experience -> phrases, abstraction -> updating   what runs taught: drafts of concepts, taken in
    effects   whether a row helped or hurt
    transfer, imports -> craft, arcmemo, python_files, yaml_text   files in and out
    evaluation -> evaluation_set, evaluation_recipe, craft_folder   how well it finds

Neighbours: `workbench` shows and curates, `toolsets` keeps its tools in `memory.store`. No model code here; the
embedder imports sentence-transformers when its first text is encoded.
"""
