"""The one reader of files that others wrote: kind and size before bytes, form before values.

    files      regular files of a bounded size
    archives   zip archives: members by name, bounded before they are unpacked
    arrays     `.npy` and `.npz`: headers parsed without evaluating them, no pickle
    values     JSON and TOML: bounded depth and numbers

Files, archives and `.npz` raise the caller's class of `BctkError`, what reads parts of them `ValueError` with the
reason alone; all are one line. Nothing here follows a name that stands in a file.
"""
