"""Making tools the CRAFT way (arXiv 2309.17428, section 2.1): from problems, with any model that can be asked.

    problems -> diverse          what is to be solved, and which of it first
    prompts, replies             what a model is told, and what is read from what it says
    harness -> checking          code runs in the sandbox, calls and answers are compared (`answers`)
    book, journal -> build       solve, check, abstract, check again, deduplicate, propose; resumable, counted
    probes -> behaviour          whether two tools do the same, and the plan of their merge

Neighbours: `chat` is who is asked, `sandbox` is where code runs, `memory.store` is where proposals go.
"""

from typing import Final

TRIES: Final = 2
"""How often a model may write one thing."""
PARALLEL: Final = 4
"""How many replies are waited for at once."""
