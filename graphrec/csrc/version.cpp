#include "export.h"

// The version of the interface: raised with every change of an exported function or of program.h, together with
// VERSION in graphrec/clib.py, which refuses a library of another version.
GRAPHREC_EXPORT int graphrec_version(void) { return 7; }
