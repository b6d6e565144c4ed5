// Stands in for the macOS header while bindings are made: `_Complex` is the compiler's own.
#pragma once
