"""Files that people bring along: models, images and sounds.

Start reading in `uploads`. `store` keeps the files, `validate` runs the check of one in a process
of its own, and `worker` is that process; what it looks at is in `gltf`, `images`, `ktx2`, `sound`.
"""
