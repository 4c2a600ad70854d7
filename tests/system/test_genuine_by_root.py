"""Files that CMSSW wrote: every number that is read here is the one that real ROOT reads."""

import pytest
import uproot
from environments import python_with
from root_values import NEW, NUMBERS, OLD, differences, product_of, read, root_reads

pytestmark = pytest.mark.slow
#: File -> kinematics of its candidates, products that tables are made of, and cells in them.
FILES = {
    "aod_2010_data": (OLD, 27, 1390 + 6),
    "mini_72x_mc": (OLD, 7, 2916 + 30),
    "mini_74x_data": (NEW, 10, 255 + 3),
    "aod_run3_empty": (NEW, 35, 0),
}


@pytest.mark.parametrize("name", FILES)
def test_every_number_of_a_genuine_file_is_the_one_that_root_reads(data, name):
    python, path = python_with("root"), data / "cms" / f"{name}.root"
    kinematics, count, cells = FILES[name]
    with uproot.open(path) as file:
        found = [product_of(branch.name, kinematics) for branch in file["Events"].branches]
    products = [product for product in found if product]
    assert len(products) == count
    asked = [expression for product in products for expression in product.asked.values()]
    (answer,) = root_reads(python, [(path, [*asked, *NUMBERS.values()])])
    assert answer["errors"] == []
    assert differences(read(path, products), products, answer["values"]) == (0, cells)
