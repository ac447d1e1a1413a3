"""What an agent can do about an error, in the words of its tools.

The errors themselves speak to whoever sits at a command line.
"""

from collections.abc import Mapping

ADVICE: Mapping[str, str] = {
    "box_not_found": "list_boxes tells the boxes that you may use; create_box makes one.",
    "boxes_limit": "destroy_box makes room; ask the user which box may go.",
    "budget_reached": "Only the user can give more.",
    "call_timed_out": "It may have been done all the same: look before you try again.",
    "checkpoint_not_found": "checkpoint_list tells those there are.",
    "checkpoints_limit": "Ask the user to delete some.",
    "connection_lost": "It may have been done all the same: look before you try again.",
    "image_not_found": "Say no image, for the default one.",
    "name_taken": "Say another name, or none: one is made up. Whose box has this one is not told.",
    "no_connection": "The boxes' server is away. Try again in a moment, then tell the user.",
    "no_such_path": "file_list tells what a directory holds.",
    "not_in_trash": "A destroyed box is kept for a while only.",
    "scope_missing": "Your token does not allow it. Only the user can give you another.",
    "service_not_found": "service_list tells those there are.",
    "session_not_found": "exec_list tells the commands that run.",
    "sessions_limit": "exec_list tells the commands that run, and exec_kill ends one.",
}
"""By the code of an error; most say themselves what to do."""
