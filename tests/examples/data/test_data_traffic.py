"""Traffic: weights by hand, jams that travel against the traffic, and the public files, small ones."""

import pickle

import numpy as np
import pytest
import torch
from data.traffic import road_graph, road_traffic
from data.traffic_files import read_traffic

import graphrec as gr


def test_weights_by_hand():
    """Distances 0, 1, 3, 4: their standard deviation is sqrt(2.5), so that 3 and 4 are too far."""
    ends = torch.tensor([[0, 0, 1, 2], [0, 1, 2, 0]])
    s = road_graph(ends, torch.tensor([0.0, 1.0, 3.0, 4.0]), 3, names=("a", "b", "c"))
    assert s.edge_index.tolist() == [[0, 0], [0, 1]]
    torch.testing.assert_close(s.edge_weight, torch.tensor([1.0, 2.718281828 ** (-1 / 2.5)]))
    assert s.tokens == ("a", "b", "c")
    everything = road_graph(ends, torch.tensor([0.0, 1.0, 3.0, 4.0]), 3, threshold=0.0)
    assert everything.num_edges == 4
    assert road_graph(torch.zeros(2, 0), torch.zeros(0), 2).num_edges == 0


@pytest.mark.parametrize(
    ("ends", "distances", "message"),
    [
        ([[0], [1]], [-1.0], "0 or more, and finite, got -1.0 for pair 0"),
        ([[0], [1]], [float("nan")], "got nan"),
        ([[0, 0], [1, 1]], [1.0, 2.0], "from sensor 0 to sensor 1 is listed twice"),
        ([[0], [5]], [1.0], "node 5"),
        ([[0], [1]], [1.0, 2.0], "distances"),
    ],
)
def test_roads_refused(ends, distances, message):
    with pytest.raises(ValueError, match=message):
        road_graph(torch.tensor(ends), torch.tensor(distances), 2)


def test_drawn_traffic():
    traffic = road_traffic(days=2, roads=3, sensors=5, seed=1)
    assert traffic.values.shape == traffic.observed.shape == (576, 15)
    assert (traffic.values[~traffic.observed] == 0).all()
    assert (traffic.values[traffic.observed] >= 1).all()
    assert 0.95 < traffic.observed.float().mean() < 1
    assert traffic.time_of_day[288] == 0
    again, other = (road_traffic(days=2, roads=3, sensors=5, seed=seed) for seed in (1, 2))
    assert torch.equal(again.values, traffic.values)
    assert again.graph == traffic.graph
    assert not torch.equal(other.values, traffic.values)


def test_jams_travel_against_the_traffic():
    """What a sensor measures follows what the next one downstream measured, and not the other way round."""
    traffic = road_traffic(days=10, roads=1, sensors=6, seed=0)
    x = traffic.values - traffic.values.mean(0)

    def alike(leader, follower, lag=3):
        return float(
            (x[:-lag, leader] * x[lag:, follower]).mean() / (x[:, leader].std() * x[:, follower].std())
        )

    for sensor in range(5):
        assert alike(sensor + 1, sensor) > alike(sensor, sensor + 1) + 0.05


def test_no_days():
    with pytest.raises(ValueError, match="days must be 1 or more"):
        road_traffic(days=0)


DISTANCES = "from,to,cost\n7,7,0\n7,9,100.0\n9,7,250.5\n9,8,1\n"


def write(folder, values, distances=DISTANCES, name="data"):
    series, by_road = folder / "pems.npz", folder / "distances.csv"
    np.savez(series, **{name: values})
    by_road.write_text(distances)
    return series, by_road


def test_an_array_of_pems(tmp_path):
    values = np.arange(24, dtype=np.float64).reshape(6, 2, 2)
    values[3, 1, 1] = np.nan
    series, distances = write(tmp_path, values)
    (tmp_path / "ids.txt").write_text("9, 7\n")
    traffic = read_traffic(series, distances, tmp_path / "ids.txt", threshold=0.0, feature=1)
    assert traffic.values.tolist() == [[1, 3], [5, 7], [9, 11], [13, 0], [17, 19], [21, 23]]
    assert traffic.observed.sum() == 11
    assert traffic.graph.tokens == ("9", "7")
    assert traffic.graph.edge_index.tolist() == [[1, 1, 0], [1, 0, 1]]  # that of sensor 8 is left out
    torch.testing.assert_close(traffic.time_of_day, torch.arange(6) / 288)
    first = read_traffic(series, distances, tmp_path / "ids.txt", feature=0)
    assert not first.observed[0, 0]  # a zero is a value that is missing
    # Without names, sensors are numbers; a header is not needed.
    distances.write_text("0,1,1\n1,0,9\n1,0,3\n")  # the last line of a pair counts
    by_number = read_traffic(series, distances, threshold=0)
    assert by_number.graph.tokens is None
    assert by_number.graph.edge_index.tolist() == [[0, 1], [1, 0]]
    torch.testing.assert_close(by_number.graph.edge_weight.log(), torch.tensor([-1.0, -9.0]))
    h = gr.DCRNN(1, 4, 2)(
        by_number.values.view(-1, 1), gr.over_time(gr.diffusion(by_number.graph, 2), 6, carried=True)
    )
    assert h.shape == (12, 4)


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("the pickle has been read",))


def test_pickles_are_not_read(tmp_path):
    series, distances = write(tmp_path, np.ones((3, 2)))
    matrix = tmp_path / "adj_mx.pkl"
    matrix.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"may run any code.*distances_la_2012\.csv"):
        read_traffic(series, matrix)
    np.savez(series, data=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_traffic(series, distances)


BAD = {
    "no file": ({}, "missing.npz", FileNotFoundError, "missing.npz, which is not there"),
    "another ending": ({}, "distances.csv", ValueError, r"expected a file \.h5 or \.npz"),
    "no array": ({"name": "x"}, None, ValueError, "named data, got x"),
    "no numbers": ({"values": np.array([["a", "b"]])}, None, ValueError, r"must hold numbers.*\[1, 2\]"),
    "one dimension": ({"values": np.ones(3)}, None, ValueError, r"\[T, N\].*\[3\]"),
    "no such feature": ({"values": np.ones((3, 2, 1))}, None, ValueError, "features 0 to 0, got feature=1"),
    "two columns": ({"distances": "0,1,2\n0,1\n"}, None, ValueError, "line 2: expected from,to,distance"),
    "no distance": (
        {"distances": "0,1,2\n0,1,far\n"},
        None,
        ValueError,
        "line 2: expected a distance, got 'far'",
    ),
    "no distance in the first line": (
        {"distances": "0,1,\n1,0,2\n"},
        None,
        ValueError,
        "line 1: expected a distance, got ''",
    ),
    "another column": (
        {"distances": ",from,to,cost\n0,0,1,5\n"},
        None,
        ValueError,
        "line 1: expected from,to",
    ),
    "negative": ({"distances": "0,1,-2\n"}, None, ValueError, "line 1: a distance must be 0 or more.*-2"),
    "other sensors": (
        {"distances": "400,401,2\n"},
        None,
        ValueError,
        "no line names two of the sensors, such as 0, 1",
    ),
    "empty": ({"distances": ""}, None, ValueError, "empty file"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_refused(tmp_path, name):
    given, path, error, message = BAD[name]
    series, distances = write(tmp_path, **{"values": np.ones((3, 2)), "distances": "0,1,2\n", **given})
    with pytest.raises(error, match=message):
        read_traffic(
            series if path is None else tmp_path / path, distances, feature=int(name == "no such feature")
        )


def test_names_refused(tmp_path):
    series, distances = write(tmp_path, np.ones((3, 2)))
    for names, message in (
        ("7", "the 2 sensors of .* got 1 names"),
        ("7,7", "several sensors have one name"),
    ):
        (tmp_path / "ids.txt").write_text(names)
        with pytest.raises(ValueError, match=message):
            read_traffic(series, distances, tmp_path / "ids.txt")


def test_a_damaged_array(tmp_path):
    series, distances = write(tmp_path, np.ones((3, 2)))
    series.write_bytes(series.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"pems\.npz"):
        read_traffic(series, distances)


def test_bytes_that_are_wrong(tmp_path):
    """numpy and zipfile raise errors of many types; each comes with the name of the file."""
    values = np.random.default_rng(0).random((500, 2))
    series, distances = write(tmp_path, values)
    plain = series.read_bytes()
    np.savez_compressed(series, data=values)
    packed = series.read_bytes()
    for wrong in (
        packed[:1000] + bytes(100) + packed[1100:],  # zlib's error
        plain.replace(b"\x93NUMPY", b"\x93NUMPI"),  # no array, but bytes
        plain.replace(b"'fortran_order'", b"'fortran_order("),
        plain[plain.index(b"\x93NUMPY") :].split(b"PK")[0],  # a file .npy
    ):
        series.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"pems\.npz"):
            read_traffic(series, distances)
    series.write_bytes(plain)
    with pytest.raises(TypeError, match=r"feature must be a whole number, got 0\.5"):
        read_traffic(*write(tmp_path, values[..., None]), feature=0.5)


def write_table(path, values, names, times, unit=b"datetime64", key="df"):
    """As pandas writes a table in its fixed form."""
    h5py = pytest.importorskip("h5py", reason="h5py, which reads tables of pandas, is not installed")
    with h5py.File(path, "w") as file:
        group = file.create_group(key)
        group["axis0"] = group["block0_items"] = np.array([name.encode() for name in names])
        group["axis1"] = times
        group["axis1"].attrs["kind"] = unit
        group["block0_values"] = values


def test_a_table_of_metr_la(tmp_path):
    five_minutes = 300 * 10**9
    start = 15_400 * 86_400 * 10**9 + 3600 * 10**9  # one o'clock
    times, path = start + five_minutes * np.arange(4), tmp_path / "metr-la.h5"
    write_table(path, np.arange(8.0).reshape(4, 2), ["7", "9"], times)
    (tmp_path / "distances.csv").write_text(DISTANCES)
    (tmp_path / "ids.txt").write_text("9,7")
    traffic = read_traffic(path, tmp_path / "distances.csv", tmp_path / "ids.txt", threshold=0.0)
    assert traffic.values.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    torch.testing.assert_close(traffic.time_of_day, (12 + torch.arange(4)) / 288)
    assert traffic.graph.tokens == ("7", "9")  # the order of the columns
    assert traffic.graph.edge_index.tolist() == [[0, 0, 1], [0, 1, 0]]
    (tmp_path / "ids.txt").write_text("9,8")
    with pytest.raises(ValueError, match="names that differ"):
        read_traffic(path, tmp_path / "distances.csv", tmp_path / "ids.txt")
    write_table(path, np.ones((4, 2)), ["7", "9"], np.arange(4), b"integer")
    with pytest.raises(ValueError, match="must be times, got integer"):
        read_traffic(path, tmp_path / "distances.csv")
    write_table(path, np.ones((4, 2)) * 1j, ["7", "9"], times)
    with pytest.raises(ValueError, match="table of numbers of one type, got complex128"):
        read_traffic(path, tmp_path / "distances.csv")
    path.write_bytes(b"no table")
    with pytest.raises(ValueError, match=r"metr-la\.h5"):
        read_traffic(path, tmp_path / "distances.csv")


def test_a_table_that_pandas_has_written(tmp_path):
    for name in ("h5py", "tables"):
        pytest.importorskip(name, reason=f"{name}, with which pandas writes tables, is not installed")
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    path = tmp_path / "pems-bay.h5"
    for names in (["7", "9"], [7, 9]):
        times = pandas.date_range("2017-01-01 23:55", periods=3, freq="5min")
        pandas.DataFrame(np.ones((3, 2)), index=times, columns=names).to_hdf(path, key="speed", mode="w")
        (tmp_path / "distances.csv").write_text(DISTANCES)
        traffic = read_traffic(path, tmp_path / "distances.csv")
        assert traffic.graph.tokens == ("7", "9")
        torch.testing.assert_close(traffic.time_of_day, torch.tensor([287.0, 0.0, 1.0]) / 288)


def test_without_h5py(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    (tmp_path / "metr-la.h5").write_bytes(b"")
    (tmp_path / "distances.csv").write_text(DISTANCES)
    with pytest.raises(ImportError, match="pip install h5py"):
        read_traffic(tmp_path / "metr-la.h5", tmp_path / "distances.csv")
