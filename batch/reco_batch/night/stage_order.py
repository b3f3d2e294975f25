"""Order of a run between the preflight checks and publishing: one list of stages."""

from collections.abc import Callable

from reco_batch.artifact.folder import EXPLICIT_MODEL, MOVIE_MODEL, USER_MODEL
from reco_batch.artifact.manifests import MANIFEST
from reco_batch.artifact.stored_models import STORED_RATING, STORED_RETRIEVAL
from reco_batch.artifact.unfinished import FINISH
from reco_batch.artifact.writer import ArtifactWriter
from reco_batch.data.dataset import Dataset
from reco_batch.data.split import Split
from reco_batch.night.stages import FILES, MODEL, VALUE, Stage
from reco_batch.night.train_and_refit import CHOOSE, REFIT, TRAIN, Trainings
from reco_batch.night.write_lists import Lists
from reco_batch.progress.reporter import Stage as Progress
from reco_batch.settings.run_config import RunConfig
from reco_store.contract.families import BECAUSE, NEXT, POPULAR, RANKED, SEEN, SIMILAR, USER


def order_of(
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    writer: ArtifactWriter,
    *,
    trainings: Trainings,
    lists: Lists,
    finish: Callable[..., None],
) -> list[Stage]:
    """Return the stages of a run: name, kind of result, work, needs, files to write, steps.

    Each model is trained without the held-out ratings (`train`) and measured. With `config.refits`
    it is trained again on all ratings (`refit`), and the lists are computed from that one. Stages
    of different models run in parallel; retrieval comes first, since it takes longer. Its first
    training makes the choice, in parallel with the trainings of the rating model, of which the
    second may continue the first and then follows it. The lists of retrieval take longest, so the
    thread that is free first saves its models meanwhile.
    """
    users, items = len(dataset.user_ids), len(dataset.movies.catalogue)
    served = REFIT if config.refits else TRAIN
    retrieval, rating = f"{served} retrieval", f"{served} rating"
    trained, trained_rating = f"{TRAIN} retrieval", f"{TRAIN} rating"
    two_stage = config.ranked_candidates is not None  # retrieval proposes the movies to rate
    path, saved, preset = writer.lists, writer.models, config.parameters
    user = [path(USER), *([path(BECAUSE)] if config.because else [])]
    common = [path(POPULAR), path(SEEN), writer.catalogue]
    common += [writer.histories] if preset.retrieval.folds_in else []
    common += [] if dataset.has_stars else [path(RANKED)]  # empty lists

    def write_split(_: Progress) -> None:
        writer.write_split(dataset, split)

    def model(name: str) -> Stage:
        needs = [CHOOSE] if name in (retrieval, trained) else []
        after = trained_rating if trainings.continues(name) else None
        epochs = trainings.epochs(name)
        return Stage(name, MODEL, trainings.training(name), needs, [], epochs, after=after)

    rating_lists = [
        model(rating),
        Stage(
            "score ranked lists",
            FILES,
            lists.ranked,
            [rating, *[retrieval] * two_stage],
            [path(RANKED)],
            users,
        ),
        Stage(
            "save rating model",
            FILES,
            lists.save_rating,
            [rating],
            [saved / EXPLICIT_MODEL, *([saved / STORED_RATING] if preset.rating.folds_in else [])],
        ),
    ]
    rating_metrics = [
        model(trained_rating),
        Stage(
            "measure rating",
            VALUE,
            trainings.measure_rating,
            [trained_rating, *[trained] * two_stage],
            trainings.files("rating"),
        ),
    ]
    retrieval_lists = [
        model(retrieval),
        Stage("score user lists", FILES, lists.user, [retrieval], user, users),
        Stage("score similar lists", FILES, lists.similar, [retrieval], [path(SIMILAR)], items),
        Stage("score next lists", FILES, lists.next, [retrieval], [path(NEXT)], items),
    ]
    saved_retrieval = Stage(
        "save retrieval models",
        FILES,
        lists.save_retrieval,
        [retrieval],
        [
            *(saved / USER_MODEL, saved / MOVIE_MODEL),
            *([saved / STORED_RETRIEVAL] if preset.retrieval.folds_in else []),
        ],
        apart=True,
    )
    retrieval_metrics = [
        model(trained),
        Stage(
            "measure retrieval",
            VALUE,
            trainings.measure_retrieval,
            [trained],
            trainings.files("retrieval"),
        ),
    ]
    if config.refits:
        of_retrieval = [retrieval_lists, retrieval_metrics]
        of_rating = [rating_lists, rating_metrics]
        if trainings.continues(rating):
            of_rating.reverse()
    else:  # the lists are computed from the measured models
        of_retrieval = [retrieval_metrics, retrieval_lists[1:]]
        of_rating = [rating_metrics, rating_lists[1:]]
    halves = [of_retrieval[0], *(of_rating if dataset.has_stars else []), of_retrieval[1]]
    measured = [f"measure {kind}" for kind in trainings.kinds]
    return [
        Stage("popular lists and cards", FILES, lists.popular, [], common),
        Stage("write the split", FILES, write_split, [], [writer.split], shown=False),
        *[stage for half in halves for stage in half],
        saved_retrieval,
        Stage(CHOOSE, VALUE, trainings.choose, shown=config.parameters.retrieval.chooses),
        Stage(FINISH, FILES, finish, [CHOOSE, *measured], [writer.folder / MANIFEST]),
    ]
