// Stands in for the macOS header while bindings are made: mlx-c needs one type of it.
#pragma once
typedef struct __sFILE FILE;
