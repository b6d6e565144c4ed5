// Stands in for the macOS header while bindings are made: mlx-c needs one type of it.
#pragma once
#include <stddef.h>
