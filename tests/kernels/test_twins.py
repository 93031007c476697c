"""Check that the Numba and Cython engines are twins: the same files with the same functions.

Whatever exists in only one of them is listed here, with the reason.
"""

import ast
import re
from pathlib import Path

import mnistcore

PACKAGE = Path(mnistcore.__file__).parent
KERNELS = PACKAGE / "kernels"

# Files that only one engine has.
FILES = {
    "numba": {
        "cache": "Numba compiles at run time, into a folder named after a hash of all sources",
        "compiler": "how Numba compiles; C's compiler is told by flags",
        "functions": "the kinds of compiled function; C's compiler knows them",
        "selection": "which C functions a program needs; C's are in the build",
        "programs": "what is compiled together at run time, by several processes",
        "intrinsics": "what instructions that Numba has no word for are made of",
    },
    "cython": {
        "constants": "C must know the numbers of layout and threads; Numba imports them",
        "kernels": "includes the others; Numba has modules",
    },
}

# Functions, records and classes that only one engine has, in files that both have.
NUMBA = [
    ("machine", "get_float_mode set_float_mode pause yield_core", "instructions; C has builtins"),
    ("machine", "machine_lanes chosen_lanes", "Numba compiles for the machine that it runs on"),
    ("memory", "address_of address_in aligned array_object", "C has pointers"),
    ("memory", "load_scalar load_index load_int32 load_double", "C reads through pointers"),
    ("memory", "store_scalar store_index store_double", "C writes through pointers"),
    ("memory", "load_record store_record option", "C has structs"),
    ("memory", "prefetch", "a builtin in C"),
    ("vectors", "VectorModel VectorType vector_pointer", "GCC's vector type"),
    (
        "vectors",
        "binary fma multiply_add sqrt splat widened",
        "operators and casts in C",
    ),
    ("vectors", "first_lanes keep_lanes where_lane raise_exponent", "written as casts in C"),
    ("vectors", "select_less load_input load_input_first", "loops over lanes in C"),
    ("vectors", "halves_combined", "the same"),
    ("bits", "count_bits lowest_bit nonzero nonzero_bits nonzero_bits_first", "builtins in C"),
    ("bits", "without_lowest", "an expression in C; in Python an int has more bits"),
    (
        "blocks",
        "store_block load_block_first",
        "a block is a value in Numba, C has an array of vectors",
    ),
    (
        "tile",
        "tile_type zero_tile tile_size tile_vector row_length add_outer load_tile",
        "a tile's shape is in its type",
    ),
    ("sparse", "union", "a tile's shape is in its type"),
    (
        "sparse",
        "multiplying updating sparse_pointers",
        "a program compiles only the one for its width",
    ),
    ("tile", "low_tile high_tile", "two sizes of code, so that LLVM keeps the tile in registers"),
    ("tile", "tile_height copy_row", "Cython has an iterator over tiles"),
    ("tile", "Sum", "part of a Product in C"),
    ("tile", "tile_places", "an expression in C"),
    ("inputs", "note_marked", "what mark_rows returns in C"),
    ("elementwise", "relu", "one operator in C"),
    ("dropout", "is_kept keep_factor drop_row", "a unit at a time; Cython masks a vector"),
    ("integers", "IntsType IntsModel ints_pointer binary", "GCC's vector type and its operators"),
    ("integers", "lesser most least shift_bits", "written as comparisons and casts in C"),
    ("augment", "augment_all scratch_size tasks", "the record of a job is made in Python"),
    ("losses", "row_maximum row_sum softmax_loss softmax_loss_short", "a row at a time"),
    ("losses", "loss_sum add_to fraction", "written in place in C"),
    ("updates", "rule_of write_update", "a record of float32 is written field by field"),
    ("updates", "adam descend with_decay update_vectors update_vector", "specialised by rule in C"),
    ("updates", "Constants constants_of", "C loads each constant where it is used"),
    ("updates", "update_at update_apart update_rest", "update_vec has pointers to each array"),
    ("matmul", "Division SmallProducts", "records; fields and arguments in C"),
    ("matmul", "make_job packed_at table_length", "where things lie; a struct in C"),
    ("matmul", "is_plain", "lets arrays skip Numba's dispatch"),
    ("inputs", "bits_of gather_word", "steps of gather on offsets"),
    ("narrow", "marking_of sums_of updates_of functions_for", "C functions for a number of units"),
    ("strips", "zero_sums add_weighted add_scaled accumulate", "loops over units in C"),
    ("strips", "store_sums store_gradient add_shuffled", "the same"),
    ("narrow", "clear_strips last_gradient", "in C a place of values and a gradient that is NULL"),
    ("narrow", "next_strips scaling_of strip_place", "records and offsets"),
    ("plan", "packed_size", "the plan is made in Python"),
    ("plan", "described layer_at", "the plan is made in Python, as records of offsets"),
    ("products", "Functions Place", "addresses of C functions and of a thread's places"),
    ("products", "forward_panel", "Cython has an iterator over tiles"),
    ("products", "input_gradient_tile derive_row", "loops that C inlines"),
    ("products", "clear_gradient", "the padding of dz must be 0 where no unit writes it"),
    ("team", "make_team", "a record; C fills its struct in enter"),
    (
        "training",
        "forward_layers backward_layers forward_and_back",
        "Cython: rows_step, layers_step",
    ),
    ("training", "make_steps place_of", "the record of a run is made in Python"),
    ("clipping", "gradient_place", "an offset; a slot in C"),
    ("packing", "copy_parameters", "pack and unpack are called by address"),
    ("normalization", "normalize_panels in_panels", "called by address; places are offsets"),
    ("gradients", "sum_dz", "a loop within another in C"),
    ("losses", "soft_loss soft_rows", "in C a branch of loss_rows: soft_block"),
    ("losses", "copy_gradient", "a row at a time"),
    ("training", "samples_of", "written in place in C"),
    ("prediction", "Job forward_plan function_pointers own_net", "records of offsets"),
    ("prediction", "pack_share place_of predict tasks", "entry points of their own"),
]
CYTHON = [
    ("machine", "instruction_sets", "the build is chosen at import, among those of the machine"),
    ("memory", "allocate release", "C owns memory; Numba's arrays are NumPy's"),
    ("memory", "Space space_in take no_space", "places are pointers, taken one after another"),
    ("clipping", "apply_slots apply_rule", "specialised by rule in C"),
    ("clipping", "with_gradient", "a layer has pointers to its slots in C"),
    ("narrow", "strips_size", "the plan's packed_size in Numba"),
    ("memory", "set_guard remove_guard", "of the debug build"),
    ("memory", "out_address divide_up", "what an expression says in Python"),
    ("vectors", "check_lanes splat_bits", "of the debug build; a vector of integers"),
    ("vectors", "copy_first load_last", "LLVM has masked loads and stores"),
    ("vectors", "maximum minimum", "Numba has select_less"),
    ("vectors", "equal lane_numbers", "in Numba's keep_lanes and where_lane"),
    ("blocks", "pack_rows unpack_transposed", "whole matrices; Numba goes by rows"),
    ("tile", "Product", "arguments of the micro-kernel; Numba passes them"),
    ("sparse", "sparse_groups", "in Numba the loops of the functions for each width"),
    ("tile", "add_products", "loops that Numba writes where they are needed"),
    ("tile", "Tiles tiles_of tiles_between next_range next_tile", "an iterator"),
    ("elementwise", "activate_loop derive_loop", "specialised by activation through inlining"),
    ("dropout", "keep_mask dropout_rate", "a vector of random numbers; Numba draws one"),
    ("dropout", "random_lanes", "a vector of random numbers"),
    ("integers", "choose low_bytes", "in Numba an intrinsic for each use"),
    ("augment", "Deformation", "of layout, in Numba"),
    ("augment", "interpolate", "a part of sample_row in Numba"),
    ("augment", "whole_part", "LLVM has masked loads and stores of bytes"),
    (
        "losses",
        "loss_block sum_columns scale_columns",
        "as many rows at once as a vector has lanes",
    ),
    ("losses", "transpose_logits transpose_gradient weight_of", "the same"),
    ("losses", "loss_of_rows", "many rows at once where the classes are few"),
    ("updates", "Update sgd_constants adam_constants", "a struct; Numba writes a record"),
    ("updates", "update_vec update_loop updating_tile", "specialised by rule through inlining"),
    ("updates", "update_share", "a thread's part: update_flat in Numba"),
    ("updates", "sgd_update adam_update", "the public kernels; Numba's are in numba_kernels"),
    ("matmul", "view_matrix multiply_views carry_out", "small products skip Python's checks"),
    ("matmul", "swap set_a", "the struct of a product is filled in place"),
    (
        "inputs",
        "Parts set_rows skip_rows row_id row_start",
        "one Source for all inputs",
    ),
    ("narrow", "mark_strips part_sums update_part", "functions within functions in Numba"),
    ("narrow", "PartWork do_part do_place do_units", "choose among the constant numbers of units"),
    ("narrow", "unit_sums unit_gradients strip_values", "loops over units, unrolled"),
    ("strips", "splat_strip store_strip halve", "steps of such loops"),
    ("narrow", "Layer", "declared before it is defined"),
    ("narrow", "place_strips release_strips", "memory that C owns"),
    ("inputs", "line_columns", "an expression in Numba"),
    ("inputs", "release_marks", "C owns memory; Numba's arrays are NumPy's"),
    ("inputs", "mark_word", "an instruction in Numba"),
    ("bits", "swap_quadrants", "a loop of transpose_bits with constant limits"),
    ("inputs", "nonzero_values fetch_word mark_values", "steps of gather on pointers"),
    ("inputs", "is_little", "in Numba a part of note_marked"),
    ("inputs", "gather_rows", "lets Python call gather; in Numba it has a pointer"),
    ("plan", "Options read_layer make_run place_run place_bias", "the plan is made in C"),
    ("plan", "division training_size gradient_size transposed_size", "sizes that Python asks for"),
    ("plan", "dz_of dzt_of", "places that Numba keeps as offsets"),
    ("products", "forward_in_place", "few rows read the weights where the user has them"),
    ("products", "forward_tile forward_rows finish_rows", "specialised through inlining"),
    ("products", "derive_block derive_blocks", "specialised through inlining"),
    (
        "gradients",
        "update_rows update_weights update_groups update_marked",
        "specialised through inlining",
    ),
    ("gradients", "flush", "a loop at the end of update_panel in Numba"),
    ("updates", "update_next", "specialised through inlining"),
    ("sparse", "multiply_sparse", "in Numba one function for each width"),
    ("training", "partial_of masks_of update_of", "Numba's Place"),
    ("packing", "owners_of flat_of", "Numba's Place"),
    ("plan", "place_normalization z_of", "places are offsets in Numba"),
    ("gradients", "update_slots", "written in place in Numba"),
    ("losses", "soft_block", "rows in lanes; Numba has soft_loss for a row"),
    ("training", "rows_step layers_step", "Numba: forward_layers, backward_layers with a flag"),
    ("prediction", "Weights weights_size buffers_size tile_rows", "memory that C owns"),
]
# Functions that are in different files, because what they need is defined there.
MOVED = {
    "normalize_layer",
    "add_parts",
    "fetch_weights",
    "inputs_of",
    "narrow_parts",
    "update_group",
}


def numba_names(path):
    """Return the functions and classes of a module, without the Python twins of instructions."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return {name.strip("_") for name in names if not name.endswith("twin")}


def cython_names(path):
    """Return the functions, structs and classes of an included file."""
    text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
    names = re.findall(r"^(?:cdef|cpdef|def)\s[^=\n:]*?(\w+)\(", text, re.M)
    return {
        name.strip("_")
        for name in (*names, *re.findall(r"^cdef (?:struct|class) (\w+)", text, re.M))
    }


def engines():
    """Return the names in each file of the Numba and of the Cython engine, by file name."""
    numba = {p.stem: numba_names(p) for p in (KERNELS / "_numba").glob("*.py")}
    cython = {p.stem: cython_names(p) for p in (KERNELS / "_cython").glob("*.pxi")}
    del numba["__init__"]
    return numba, cython


def test_the_engines_have_the_same_files():
    numba, cython = engines()
    assert numba.keys() - cython.keys() == FILES["numba"].keys()
    assert cython.keys() - numba.keys() == FILES["cython"].keys()
    assert len(numba.keys() & cython.keys()) > 12


def listed(table):
    return {(file, name) for file, names, _ in table for name in names.split()}


def test_what_one_engine_lacks_is_listed_with_its_reason():
    numba, cython = engines()
    both = numba.keys() & cython.keys()
    only = {(file, name) for file in both for name in numba[file] - cython[file] - MOVED}
    assert only == listed(NUMBA)
    only = {(file, name) for file in both for name in cython[file] - numba[file] - MOVED}
    assert only == listed(CYTHON)


def test_every_file_shares_names_with_its_twin():
    numba, cython = engines()
    for file in (numba.keys() & cython.keys()) - {"vectors", "memory"}:
        assert numba[file] & cython[file], file


def parameters(path):
    """Return the number of parameters of every function in an engine's file, by name."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pxi":
        found = re.findall(r"^ *(?:cdef|cpdef|def)\s[^=\n:]*?(\w+)\(([^)]*)\)", text, re.M)
        return {name: len([p for p in of.split(",") if p.strip()]) for name, of in found}
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    return {f.name: len(f.args.posonlyargs + f.args.args + f.args.kwonlyargs) for f in functions}


def test_functions_of_the_engines_take_few_parameters():
    files = [*(KERNELS / "_numba").glob("*.py"), *(KERNELS / "_cython").glob("*.pxi")]
    counts = {(p.name, name): n for p in files for name, n in parameters(p).items()}
    assert len(counts) > 400
    too_many = {where: n for where, n in counts.items() if n > 10}
    assert not too_many
    assert max(counts.values()) == 10


def test_modules_are_no_longer_than_they_should_be():
    lines = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for pattern in ("*.py", "*.pxi")
        for path in PACKAGE.rglob(pattern)
    }
    assert max(lines.values()) <= 500
    assert lines["train.py"] <= 160
    assert lines["training/loop.py"] <= 300
