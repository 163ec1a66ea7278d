"""What must not happen to edits when things break, tried with real processes.

Theory of operation
-------------------
::

    __main__ --> scenarios --> servers   real `atrium serve` and Postgres, started, killed, frozen
                     |
                     +-------> clients   people who build, and remember what they were told
                     |
                     +-------> audit     what they were told against what the database has

A *scenario* starts a server, lets a crowd build in its world, breaks something at moments that
chance chooses, waits until everybody knows what became of each edit, and audits. The seed says
which moments and which edits; the machine's own timing is part of the trial, so that the same seed
tries the same kinds of moments and not the same interleaving.

    make chaos                                   all scenarios, some four minutes
    make chaos ARGS="--only cut --seed 7"        one of them
"""
