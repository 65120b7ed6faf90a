"""The window: a local server and its page, to watch runs, walk through latents, paint and breed in a browser.

- `server`: the application, and running it; `security`: who may talk to it.
- `folder`: the runs below the folder that was given. Nothing outside it is ever opened for a page.
- `studio`: loaded models, and the thread that computes with them.
- `subjects`: pixel networks and latents that a page wants painted; `jobs`: files that take long to paint.
- `live`: the socket of a page: messages in, messages and images out.
- `messages`: what a page may ask for, validated.
- `growth`: what the runs contain, read again while they grow; `trainings`: starting, continuing and stopping them;
  `forms`: the settings of a recipe as a form.
- `runs`, `latents`, `paint`, `breed`: one module for each tab, with its routes and its live messages. `drawing` and
  `own_images` belong to `latents`.
- `page/`: the page itself, plain ES modules and CSS.
"""
