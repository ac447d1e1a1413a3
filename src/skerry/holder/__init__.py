"""The small processes that hold execs: one *holder* for each, forked from the *zygote*.

Words: the *command* is the main process of an exec; what it started and left behind when it ended
is its *leftovers*; the *group* is the exec's own v2 control group; a *client* is a connection to a
holder's socket, which may be *attached* to the output or only ask something.

A holder lives as long as its exec and there may be hundreds, so this package is loaded in full by
every one of them: the standard library's small modules and ctypes only, and nothing of Skerry's.
It knows no boxes database, no HTTP and no settings: what it needs is in the request.
"""
