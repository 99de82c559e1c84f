"""``python -m pyro_vae`` is the command line, ``pyro-vae``."""

from pyro_vae.cli.app import main

if __name__ == "__main__":
    main()
