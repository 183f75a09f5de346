"""Every error of the library that a person may see, as one tree.

In: what went wrong. Out: one sentence that says what to do. Neighbours: raised by every file of this room.

    LibraryError
    ├── LibraryUnavailable     the file cannot be opened, read or written; what was committed is kept
    │   ├── LibraryLocked          another program holds it
    │   ├── LibraryUnwritable      the folder or the file may not be written, or the disk is full
    │   ├── LibraryTooNew          written by a newer version
    │   └── LibraryDamaged         not a library, or a broken one
    ├── RowNotFound            no row, no version or no entry has that id
    ├── RowChanged             somebody else changed the row since it was read (a lost update was prevented)
    ├── ChangeRefused          the change itself makes no sense: a wrong state, a taken name, nothing to undo
    ├── ContentRefused         a tool or a concept lacks what it needs
    ├── ImportRefused          a file is malformed; nothing of it was taken
    └── EmbeddingError         the embedder cannot be loaded, or its vectors cannot be used
"""


class LibraryError(Exception):
    """The root of the tree; its text is one sentence for a person."""


class LibraryUnavailable(LibraryError):
    """The library's file cannot be opened, read or written."""


class LibraryLocked(LibraryUnavailable):
    """Another program holds the library for longer than we are willing to wait."""


class LibraryUnwritable(LibraryUnavailable):
    """The library, or its folder, may not be created or written, or its disk is full."""


class LibraryTooNew(LibraryUnavailable):
    """The library has a schema that only a newer version knows."""


class LibraryDamaged(LibraryUnavailable):
    """The file is not a library, or its content is broken."""


class RowNotFound(LibraryError):
    """No row, version or journal entry answers to the id that was given."""


class RowChanged(LibraryError):
    """The row is no longer at the version that the change was made from."""


class ChangeRefused(LibraryError):
    """The change cannot be made to a row in this state."""


class ContentRefused(LibraryError):
    """The content of a tool or a concept cannot be kept as it is."""


class ImportRefused(LibraryError):
    """A file that was to be imported is malformed; nothing of it was taken."""


class EmbeddingError(LibraryError):
    """Texts cannot be turned into vectors that can be searched."""
