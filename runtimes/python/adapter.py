# The python runtime's first file: short, because Python compiles it at every start; _hob is kept compiled.
import sys

sys.path.insert(0, __file__.rpartition("/")[0])
from _hob import main  # noqa: E402

main.run()
